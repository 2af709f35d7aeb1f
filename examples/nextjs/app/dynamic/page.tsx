import { cookies, headers } from "next/headers";
import { Fact, Facts, RenderedAt, Title } from "../ui";

export const dynamic = "force-dynamic";

type Props = { searchParams: Promise<Record<string, string | string[] | undefined>> };

export default async function Dynamic({ searchParams }: Props) {
  const head = await headers();
  const jar = await cookies();
  return (
    <>
      <Title about="Rendered for each request, from its data.">Dynamic</Title>
      <Facts>
        <Fact label="Served as">function</Fact>
        <RenderedAt />
        <Fact label="Host">{head.get("host")}</Fact>
        <Fact label="User agent">{head.get("user-agent")}</Fact>
        <Fact label="X Demo">{head.get("x-demo") ?? "none"}</Fact>
        <Fact label="From middleware">{head.get("x-from-middleware") ?? "none"}</Fact>
        <Fact label="Cookies">{jar.getAll().map((c) => `${c.name}=${c.value}`).join("; ") || "none"}</Fact>
        <Fact label="Search">{JSON.stringify(await searchParams)}</Fact>
      </Facts>
    </>
  );
}
