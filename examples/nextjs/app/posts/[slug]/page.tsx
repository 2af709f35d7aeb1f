import { notFound } from "next/navigation";
import { Fact, Facts, RenderedAt, Title } from "../../ui";

type Props = { params: Promise<{ slug: string }> };

// These two are rendered at build time, any other on its first request.
export const generateStaticParams = () => [{ slug: "hoist" }, { slug: "trim" }];

export async function generateMetadata({ params }: Props) {
  return { title: `${(await params).slug} · Next.js on Lateen` };
}

export default async function Post({ params }: Props) {
  const { slug } = await params;
  if (slug === "lost") notFound();
  return (
    <>
      <Title about="A page for each slug: two made at build time, any other at its first visit and then kept.">
        Post: {slug}
      </Title>
      <Facts>
        <Fact label="Served as">prerender</Fact>
        <Fact label="Slug">{slug}</Fact>
        <RenderedAt />
      </Facts>
    </>
  );
}
