import type { RouteMeta } from "@analogjs/router";
import { injectResponse } from "@analogjs/router/tokens";
import { Component } from "@angular/core";

export const routeMeta: RouteMeta = {
  canActivate: [
    () => {
      const response = injectResponse();
      if (response) response.statusCode = 404;
      return true;
    },
  ],
};

@Component({ template: `<p data-testid="error">404</p>` })
export default class NotFound {}
