import type { NextConfig } from "next";

const config: NextConfig = {
  // This folder is the root of the project, even inside of another one.
  turbopack: { root: import.meta.dirname },
  outputFileTracingRoot: import.meta.dirname,

  redirects: async () => [{ source: "/home", destination: "/", permanent: true }],
  rewrites: async () => [{ source: "/hello", destination: "/dynamic?from=config" }],
  headers: async () => [{ source: "/:path*", headers: [{ key: "x-example", value: "nextjs" }] }],
};

export default config;
