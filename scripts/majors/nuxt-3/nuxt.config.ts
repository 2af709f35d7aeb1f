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
    "/isr": { isr: 2 }, // cached by the platform
    "/swr": { swr: 2 }, // cached by Nitro, inside the function, and announced to caches by Cache-Control
    "/home": { redirect: { to: "/", statusCode: 301 } },
    "/api/**": { headers: { "x-example": "nuxt" } },
  },
});
