export const prerender = true;

export const load = () => ({ renderedAt: new Date().toISOString() });
