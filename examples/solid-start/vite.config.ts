import { solidStart } from "@solidjs/start/config";
import { nitro } from "nitro/vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [solidStart(), nitro()],
  nitro: {
    preset: "vercel",
    prerender: { routes: ["/"] },
    routeRules: {
      "/kept": { isr: 2 },
      "/home": { redirect: { to: "/", status: 301 } },
      "/api/**": { headers: { "x-example": "solid-start" } },
    },
  },
});
