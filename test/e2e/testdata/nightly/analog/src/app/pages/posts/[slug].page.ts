import { injectLoad } from "@analogjs/router";
import { injectRequest } from "@analogjs/router/tokens";
import { Component } from "@angular/core";
import { toSignal } from "@angular/core/rxjs-interop";
import type { load } from "./[slug].server";

@Component({
  template: `
    <h1 data-testid="slug">{{ post()?.slug }}</h1>
    <p data-testid="cookies">{{ cookies }}</p>
  `,
})
export default class Post {
  post = toSignal(injectLoad<typeof load>());
  cookies = injectRequest()?.headers.cookie ?? "none";
}
