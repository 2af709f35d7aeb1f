const routes: [path: string, about: string][] = [
  ["/api/hello?name=you", "JSON; /api/echo takes a POST"],
  ["/api/users/42", "A route parameter"],
  ["/events", "Five server-sent events"],
  ["/home", "Redirects"],
  ["/boom", "Throws; onError answers"],
  ["/nowhere", "Hono's own 404"],
];

export function page(title: string, main: string): string {
  return `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>${title} · Hono on Lateen</title>
    <link rel="icon" href="/icon.svg">
    <link rel="stylesheet" href="/style.css">
  </head>
  <body>
    <header><a class="brand" href="/">Hono on Lateen</a></header>
    <main>${main}</main>
    <footer>Hono, found without configuration. Built by the <code>vercel</code> CLI, served by Lateen.</footer>
  </body>
</html>
`;
}

export function home(now: string): string {
  const cards = routes.map(([path, about]) => `<li><a href="${path}">${path}</a>${about}</li>`).join("");
  return page(
    "Home",
    `
      <h1>Hono</h1>
      <p class="lede">One function answers every path that is no file. This page was made for your request.</p>
      <dl class="facts">
        <div><dt>Served as</dt><dd data-testid="served-as">function</dd></div>
        <div><dt>Rendered at</dt><dd><time data-testid="rendered-at" datetime="${now}">${now}</time></dd></div>
      </dl>
      <ul class="cards">${cards}</ul>
    `,
  );
}
