import { useLoaderData } from "react-router";

export const meta = () => [{ title: "React Router on Lateen" }];

export const loader = ({ request }: { request: Request }) => ({ url: request.url, agent: request.headers.get("user-agent") });

export default function Home() {
  const { url, agent } = useLoaderData<typeof loader>();
  return (
    <main>
      <h1>React Router on Lateen</h1>
      <dl>
        <dt>URL</dt>
        <dd data-testid="url">{url}</dd>
        <dt>User agent</dt>
        <dd data-testid="user-agent">{agent}</dd>
      </dl>
    </main>
  );
}
