import { unstable_cache } from "next/cache";
import { draftMode } from "next/headers";
import { Fact, Facts, RenderedAt, Title } from "../ui";

export const revalidate = 2;

// Read once, and cached until the tag is revalidated.
const clock = unstable_cache(async () => new Date().toISOString(), ["clock"], { tags: ["clock"] });

export default async function Isr() {
  const { isEnabled } = await draftMode();
  return (
    <>
      <Title about="Cached for all visitors, and regenerated in the background once it is 2 seconds old. Reload to see it move.">
        Incremental static regeneration
      </Title>
      <Facts>
        <Fact label="Served as">isr</Fact>
        <RenderedAt />
        <Fact label="Clock">{await clock()}</Fact>
        <Fact label="Draft">{isEnabled ? "on" : "off"}</Fact>
      </Facts>
      <ul className="cards">
        <li><a href="/api/revalidate?tag=clock">revalidate tag</a>Forgets the clock above</li>
        <li><a href="/api/revalidate?path=/isr">revalidate path</a>Forgets this page</li>
        <li><a href={isEnabled ? "/draft?off" : "/draft"}>draft mode</a>Turns it {isEnabled ? "off" : "on"}</li>
      </ul>
    </>
  );
}
