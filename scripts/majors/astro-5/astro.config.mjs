import vercel from "@astrojs/vercel";
import { defineConfig, passthroughImageService } from "astro/config";

export default defineConfig({
  image: { service: passthroughImageService() }, // no images here, so no image library in the function
  security: { allowedDomains: [{}] }, // else every host is localhost
  adapter: vercel({
    // Pages rendered on demand are kept for 2 seconds, all but these.
    isr: { expiration: 2, exclude: [/^\/(api|ssr|stream|boom)/] },
  }),
});
