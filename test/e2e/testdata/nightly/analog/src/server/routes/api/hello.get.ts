import { defineEventHandler, getRequestURL } from "h3";

export default defineEventHandler((event) => ({ url: getRequestURL(event).href }));
