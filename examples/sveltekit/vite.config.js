import adapter from "@sveltejs/adapter-vercel";
import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [
    sveltekit({
      adapter: adapter(),
      prerender: { crawl: false }, // some links of prerendered pages lead to dynamic pages
    }),
  ],
});
