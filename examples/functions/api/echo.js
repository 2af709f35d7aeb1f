// Streams the request body back as it arrives, in upper case.
export function POST(request) {
  const upper = new TransformStream({
    transform: (text, controller) => controller.enqueue(text.toUpperCase()),
  });
  const body = request.body
    ?.pipeThrough(new TextDecoderStream())
    .pipeThrough(upper)
    .pipeThrough(new TextEncoderStream());
  return new Response(body, { headers: { "content-type": "text/plain; charset=utf-8" } });
}
