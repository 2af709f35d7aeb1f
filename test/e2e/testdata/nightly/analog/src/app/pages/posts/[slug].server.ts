import type { PageServerLoad } from "@analogjs/router";

export const load = async ({ params }: PageServerLoad) => ({ slug: params?.["slug"] });
