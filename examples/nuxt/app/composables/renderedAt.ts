/** The time at which the server rendered this page; the browser keeps the server's value. */
export const useRenderedAt = () => useState("rendered-at", () => new Date().toISOString());
