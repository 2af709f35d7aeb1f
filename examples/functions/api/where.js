// The edge runtime with a package: where the visitor is, as far as the platform knows.
import { geolocation, ipAddress } from "@vercel/functions";

export const config = { runtime: "edge" };

export function GET(request) {
  return Response.json({ ip: ipAddress(request) ?? null, geo: geolocation(request) });
}
