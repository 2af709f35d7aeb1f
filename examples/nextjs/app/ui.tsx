import type { ReactNode } from "react";

/** The head of a page: its title and its purpose. */
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

/** A labelled value; tests find it by its label in kebab case. */
export function Fact({ label, children }: { label: string; children: ReactNode }) {
  const testid = label.toLowerCase().replaceAll(" ", "-");
  return (
    <div>
      <dt>{label}</dt>
      <dd data-testid={testid}>{children}</dd>
    </div>
  );
}

/** The time at which this markup was rendered, which distinguishes a cached page from a new one. */
export function RenderedAt() {
  const now = new Date().toISOString();
  return (
    <div>
      <dt>Rendered at</dt>
      <dd><time data-testid="rendered-at" dateTime={now}>{now}</time></dd>
    </div>
  );
}
