package local

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
)

// busy computes or waits for the durations in its query.
const busy = `module.exports = async (req, res) => {
  const { compute, wait } = req.query;
  await new Promise((resolve) => setTimeout(resolve, Number(wait)));
  for (const end = performance.now() + Number(compute); performance.now() < end;);
  res.end('done');
};`

const busyASGI = `import asyncio, time, urllib.parse
async def app(scope, receive, send):
    asked = urllib.parse.parse_qs(scope["query_string"].decode())
    await asyncio.sleep(float(asked["wait"][0]) / 1000)
    end = time.monotonic() + float(asked["compute"][0]) / 1000
    while time.monotonic() < end:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})
`

func TestAnInstanceReportsItsEventLoopDelay(t *testing.T) {
	r := newRig(t)
	tree := r.tree("busy", map[string]string{"index.js": busy, "asgi.py": busyASGI})
	for name, f := range map[string]lateen.Function{
		"Node.js": {Runtime: "nodejs24.x", Handler: "index.js", Tree: tree, LauncherType: "Nodejs", AddHelpers: true},
		"ASGI":    {Runtime: "python3.12", Handler: "asgi.py", Tree: tree},
	} {
		t.Run(name, func(t *testing.T) {
			i, err := r.begin(t, f, nil)
			if err != nil {
				t.Skip(err)
			}
			ask := func(target string) (ticks float64, late time.Duration) {
				before := i.Usage()
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() { whole(t, i, to(t, http.MethodGet, target, nil)) })
				}
				all.Wait()
				whole(t, i, to(t, http.MethodGet, "/?wait=40&compute=0", nil)) // a turn of the event loop that flushes the last report
				rests(t, i)
				after := i.Usage()
				return after.Ticks - before.Ticks, after.Late - before.Late
			}
			ticks, late := ask("/?wait=0&compute=100")
			if mean := late / time.Duration(max(1, ticks)); ticks < 1 || ticks > 20 || mean < 30*time.Millisecond || late > time.Minute {
				t.Errorf("four requests that compute for 100 ms: %v ticks, %s total delay", ticks, late)
			}
			if ticks, late := ask("/?wait=500&compute=0"); ticks < 2 || late < 0 {
				t.Errorf("four requests that wait for 500 ms: %v ticks, %s total delay", ticks, late)
			}
			ticks = i.Usage().Ticks
			whole(t, i, to(t, http.MethodGet, "/?wait=0&compute=0", nil))
			rests(t, i)
			if more := i.Usage().Ticks - ticks; more > 1 {
				t.Errorf("%v ticks in an idle instance", more)
			}
		})
	}
}
