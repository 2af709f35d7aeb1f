import adapter from "@sveltejs/adapter-vercel";
import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [
    sveltekit({
      adapter: adapter({ runtime: "nodejs20.x" }), // the newest that this adapter supports
      prerender: { crawl: false }, // some links of prerendered pages lead to dynamic pages
    }),
  ],
});
