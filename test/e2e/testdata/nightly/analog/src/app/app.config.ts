import { provideFileRouter, requestContextInterceptor } from "@analogjs/router";
import { provideHttpClient, withFetch, withInterceptors } from "@angular/common/http";
import type { ApplicationConfig } from "@angular/core";
import { provideClientHydration } from "@angular/platform-browser";

export const config: ApplicationConfig = {
  providers: [provideFileRouter(), provideHttpClient(withFetch(), withInterceptors([requestContextInterceptor])), provideClientHydration()],
};
