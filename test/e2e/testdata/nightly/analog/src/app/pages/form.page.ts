import { FormAction } from "@analogjs/router";
import { Component, signal } from "@angular/core";

@Component({
  imports: [FormAction],
  template: `
    <form method="post" (onSuccess)="greeting.set($any($event).greeting)">
      <label>Name <input name="name" /></label>
      <button>Sign on</button>
    </form>
    <output data-testid="greeting">{{ greeting() }}</output>
  `,
})
export default class Form {
  greeting = signal("");
}
