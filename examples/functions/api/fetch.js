// The web-standard form: one fetch for all methods.
import { describe } from "../lib/describe.js";

export default {
  fetch: (request) => Response.json(describe(request)),
};
