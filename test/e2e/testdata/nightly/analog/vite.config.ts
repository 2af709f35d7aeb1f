import analog from "@analogjs/platform";
import { defineConfig } from "vite";

export default defineConfig({
  resolve: { mainFields: ["module"] },
  plugins: [
    analog({
      prerender: { routes: ["/about"] },
      nitro: {
        preset: "vercel",
        compatibilityDate: "2026-11-01",
        routeRules: {
          "/kept": { isr: 2 },
          "/home": { redirect: { to: "/about", statusCode: 301 } },
        },
      },
    }),
  ],
});
