export default defineNuxtConfig({
  compatibilityDate: "2026-11-01",
  srcDir: "app",
  serverDir: "server",
  dir: { public: "../public" },
  telemetry: false,
  devtools: { enabled: false },
  css: ["~/style.css"],
  app: {
    head: {
      htmlAttrs: { lang: "en" },
      link: [{ rel: "icon", href: "/icon.svg" }],
    },
  },
  nitro: { preset: "vercel", future: { nativeSWR: true } },
  routeRules: {
    "/": { prerender: true },
    "/isr": { isr: 2 }, // kept by the platform
    "/swr": { swr: 2 }, // kept by Nitro, inside the function, and told to whoever caches in front
    "/home": { redirect: { to: "/", statusCode: 301 } },
    "/api/**": { headers: { "x-example": "nuxt" } },
  },
});
