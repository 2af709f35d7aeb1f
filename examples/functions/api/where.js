// The edge runtime with a package: the location of the client, if the platform knows it.
import { geolocation, ipAddress } from "@vercel/functions";

export const config = { runtime: "edge" };

export function GET(request) {
  return Response.json({ ip: ipAddress(request) ?? null, geo: geolocation(request) });
}
