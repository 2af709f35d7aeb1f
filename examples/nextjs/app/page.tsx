import Link from "next/link";
import { Fact, Facts, RenderedAt, Title } from "./ui";

const pages = [
  ["/isr", "Cached, regenerated every 2 seconds"],
  ["/posts/hoist", "Made at build time"],
  ["/posts/any-other", "Made at its first visit"],
  ["/posts/lost", "Calls notFound()"],
  ["/dynamic?hello=world", "Made for each request"],
  ["/form", "A server action"],
  ["/old", "Middleware redirects"],
  ["/rewritten", "Middleware rewrites"],
  ["/blocked", "Middleware answers by itself"],
  ["/home", "next.config.ts redirects"],
  ["/hello", "next.config.ts rewrites"],
  ["/boom", "Throws; error.tsx catches"],
];

const endpoints = [
  ["/api/hello?name=you", "JSON; POST echoes"],
  ["/api/stream", "Five chunks, one by one"],
  ["/api/edge", "On the edge runtime"],
  ["/api/log?marker=ahoy", "Writes to the log"],
  ["/api/after?marker=ahoy", "Works after its response"],
  ["/api/error", "Throws"],
  ["/draft", "Turns draft mode on"],
];

export default function Home() {
  return (
    <>
      <Title about="A static page: rendered once, at build time, and served as a file ever since.">
        Next.js
      </Title>
      <Facts>
        <Fact label="Served as">static</Fact>
        <RenderedAt />
      </Facts>
      <h2>Pages</h2>
      <ul className="cards">
        {pages.map(([path, about]) => (
          <li key={path}><Link href={path} prefetch={false}>{path}</Link>{about}</li>
        ))}
      </ul>
      <h2>Endpoints</h2>
      <ul className="cards">
        {endpoints.map(([path, about]) => (
          <li key={path}><a href={path}>{path}</a>{about}</li>
        ))}
      </ul>
    </>
  );
}
