import Link from "next/link";

export default function NotFound() {
  return (
    <>
      <h1 data-testid="not-found">Nothing on this heading</h1>
      <p className="lede">No page has this address. <Link href="/">Back to port</Link>.</p>
    </>
  );
}
