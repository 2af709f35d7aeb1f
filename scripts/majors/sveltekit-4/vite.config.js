import adapter from "@sveltejs/adapter-vercel";
import { sveltekit } from "@sveltejs/kit/vite";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [
    sveltekit({
      adapter: adapter({ runtime: "nodejs20.x" }), // the newest that it knows
      prerender: { crawl: false }, // the links of a prerendered page are not all prerendered too
    }),
  ],
});
