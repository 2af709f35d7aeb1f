/** When the server made this page; the browser keeps what the server said. */
export const useRenderedAt = () => useState("rendered-at", () => new Date().toISOString());
