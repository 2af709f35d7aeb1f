import vercel from "@astrojs/vercel";
import { defineConfig, passthroughImageService } from "astro/config";

export default defineConfig({
  image: { service: passthroughImageService() }, // no images here, so no image library in the function
  adapter: vercel({
    // Pages rendered on demand are cached for 2 seconds, except for these.
    isr: { expiration: 2, exclude: [/^\/(api|ssr|stream|boom)/] },
  }),
});
