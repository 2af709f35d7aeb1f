import { cookies } from "next/headers";
import { Fact, Facts, RenderedAt, Title } from "../ui";
import { SignOn } from "./sign-on";

export default async function Form() {
  const crew = (await cookies()).get("crew")?.value.split(",") ?? [];
  return (
    <>
      <Title about="A server action that works with and without JavaScript, and keeps its list in a cookie.">
        Sign on
      </Title>
      <SignOn />
      <Facts>
        <Fact label="Crew">{crew.join(", ") || "nobody yet"}</Fact>
        <Fact label="Crew size">{crew.length}</Fact>
        <RenderedAt />
      </Facts>
    </>
  );
}
