import { HttpStatusCode } from "@solidjs/start";

export function Broken() {
  return (
    <>
      <HttpStatusCode code={500} />
      <p data-testid="error">500</p>
    </>
  );
}
