import { Component } from "@angular/core";

@Component({ template: `<time data-testid="rendered-at">{{ now }}</time>` })
export default class About {
  now = new Date().toISOString();
}
