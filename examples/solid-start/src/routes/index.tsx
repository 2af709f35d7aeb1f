import { A } from "@solidjs/router";

const pages = ["/posts/hoist", "/kept", "/stream", "/form", "/boom", "/nowhere"];

export default function Home() {
  return (
    <main>
      <h1>SolidStart on Lateen</h1>
      <p>
        Prerendered at <time data-testid="rendered-at">{new Date().toISOString()}</time>
      </p>
      <ul>
        {pages.map((path) => (
          <li>
            <A href={path}>{path}</A>
          </li>
        ))}
      </ul>
    </main>
  );
}
