export default defineNitroConfig({
  srcDir: "server",
  preset: "vercel",
  compatibilityDate: "2026-11-01",
  publicAssets: [{ dir: "../public" }],
  routeRules: {
    "/kept/**": { isr: { expiration: 2, allowQuery: ["url"] } },
    "/old": { redirect: { to: "/", statusCode: 308 } },
    "/api/**": { headers: { "x-example": "nitro" } },
  },
});
