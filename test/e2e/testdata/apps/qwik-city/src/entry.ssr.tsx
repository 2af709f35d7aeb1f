import { type RenderToStreamOptions, renderToStream } from "@builder.io/qwik/server";
import Root from "./root";

export default (opts: RenderToStreamOptions) => renderToStream(<Root />, { ...opts, containerAttributes: { lang: "en" } });
