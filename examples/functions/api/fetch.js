// The web's own shape: one fetch for every method.
import { describe } from "../lib/describe.js";

export default {
  fetch: (request) => Response.json(describe(request)),
};
