export const config = { isr: { expiration: 2 } };

export const load = () => ({ renderedAt: new Date().toISOString() });
