import { mergeApplicationConfig } from "@angular/core";
import { provideServerRendering } from "@angular/platform-server";
import { config } from "./app.config";

export const serverConfig = mergeApplicationConfig(config, { providers: [provideServerRendering()] });
