import type { ReactNode } from "react";

/** The head of a page: what it is called and what it demonstrates. */
export function Title({ children, about }: { children: ReactNode; about: ReactNode }) {
  return (
    <>
      <h1>{children}</h1>
      <p className="lede">{about}</p>
    </>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className="facts">{children}</dl>;
}

/** One labelled value; its label in kebab case is what a test finds it by. */
export function Fact({ label, children }: { label: string; children: ReactNode }) {
  const testid = label.toLowerCase().replaceAll(" ", "-");
  return (
    <div>
      <dt>{label}</dt>
      <dd data-testid={testid}>{children}</dd>
    </div>
  );
}

/** The moment this markup was made, which tells a cached page from a fresh one. */
export function RenderedAt() {
  const now = new Date().toISOString();
  return (
    <div>
      <dt>Rendered at</dt>
      <dd><time data-testid="rendered-at" dateTime={now}>{now}</time></dd>
    </div>
  );
}
