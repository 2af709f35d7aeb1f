/** @type {import("next").NextConfig} */
export default {
  experimental: { outputFileTracingRoot: import.meta.dirname },

  redirects: async () => [{ source: "/home", destination: "/", permanent: true }],
  rewrites: async () => [{ source: "/hello", destination: "/dynamic?from=config" }],
  headers: async () => [{ source: "/:path*", headers: [{ key: "x-example", value: "nextjs" }] }],
};
