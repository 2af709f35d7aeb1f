import { setTimeout as pause } from "node:timers/promises";

// The page is sent at once; the awaited data follows in the same response.
export const load = () => ({
  renderedAt: new Date().toISOString(),
  slow: pause(1000).then(() => new Date().toISOString()),
});
