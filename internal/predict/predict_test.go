package predict_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/predict"
)

// story is a project and a clock. Each visitor has an address of its own.
type story struct {
	t   *testing.T
	p   *predict.Project
	now time.Time
}

func begin(t *testing.T) *story {
	return &story{t: t, p: predict.New().Project("prj_1"), now: time.Unix(1_800_000_000, 0)}
}

func visitor(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
}

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

// visit sends a visitor a page; the visitor calls functions a second later.
func (s *story) visit(n int, page string, calls ...string) []string {
	next := s.p.OnPage(page, page, visitor(n), s.now)
	s.pass(time.Second)
	for _, function := range calls {
		s.p.OnCall(function, page, visitor(n), s.now)
	}
	return next
}

func (s *story) wants(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestAPagePredictsTheCallsOfItsVisitors(t *testing.T) {
	s := begin(t)
	s.wants("before anything is known", s.visit(1, "/shop", "/api/cart", "/api/price"))
	s.wants("after one visit", s.visit(2, "/shop", "/api/cart", "/api/price"))
	s.wants("after two", s.visit(3, "/shop", "/api/cart"), "/api/cart", "/api/price")
	for n := range 6 {
		s.visit(10+n, "/shop", "/api/cart")
	}
	s.wants("once price has become rare", s.visit(20, "/shop"), "/api/cart")
	s.wants("another page", s.visit(21, "/about"))
}

func TestOneVisitCountsACallOnce(t *testing.T) {
	s := begin(t)
	s.visit(1, "/shop", "/api/poll", "/api/poll", "/api/poll")
	s.wants("after one visit that polls", s.visit(2, "/shop"))
}

func TestACallIsAttributedToThePageBeforeIt(t *testing.T) {
	s := begin(t)
	for n := range 4 {
		s.p.OnPage("/shop", "/shop", visitor(n), s.now)
		s.pass(time.Second)
		s.p.OnCall("/api/other-tab", "/elsewhere", visitor(n), s.now) // from another page
		s.p.OnCall("/api/other-visitor", "/shop", visitor(100+n), s.now)
		s.p.OnCall("/api/hidden", "", visitor(n), s.now) // some pages send no Referer
		s.pass(time.Minute)
		s.p.OnCall("/api/late", "/shop", visitor(n), s.now)
	}
	s.wants("/shop", s.visit(50, "/shop"), "/api/hidden")
}

func TestObservationsDecay(t *testing.T) {
	s := begin(t)
	for n := range 60 {
		s.visit(n, "/shop", "/api/old")
	}
	for n := range 200 {
		s.visit(n, "/shop", "/api/new")
	}
	s.wants("after 200 visits of another kind", s.visit(300, "/shop"), "/api/new")
}

func TestAConnectionPredictsItsFirstFunction(t *testing.T) {
	s := begin(t)
	s.wants("before anything is known", s.p.OnConnect(visitor(1), s.now))
	for n := range 10 {
		first := "/index"
		if n%5 == 4 {
			first = "/rare"
		}
		s.p.OnFirst(s.now, "/middleware", first)
	}
	s.wants("a connection", s.p.OnConnect(visitor(1), s.now), "/middleware", "/index")
	s.pass(time.Second)
	for range 60 {
		s.p.OnFirst(s.now, "") // only static files
	}
	s.wants("once most ask for files", s.p.OnConnect(visitor(1), s.now))
}

func TestAPathPredictsTheFunctionThatAnswersIt(t *testing.T) {
	s := begin(t)
	for n := range 3 {
		s.p.OnAnswer(fmt.Sprint("/blog/", n), "/blog/[slug]", s.now)
		s.p.OnAnswer("/login", "", s.now) // the middleware answered
	}
	s.wants("a page never asked for, beside others", s.p.OnRequest("/blog/new", s.now), "/blog/[slug]")
	s.wants("what no function answers", s.p.OnRequest("/login", s.now))
	s.wants("elsewhere", s.p.OnRequest("/shop/new", s.now))
	for range 3 {
		s.p.OnAnswer("/blog/feed", "/feed", s.now)
	}
	s.pass(time.Second)
	s.wants("a path that is known itself", s.p.OnRequest("/blog/feed", s.now), "/feed")
}

func TestPredictionsHaveAMinimumInterval(t *testing.T) {
	s := begin(t)
	s.p.OnFirst(s.now, "/index")
	s.p.OnFirst(s.now, "/index")
	s.wants("the first of a burst", s.p.OnConnect(visitor(1), s.now), "/index")
	for n := range 1000 {
		s.wants("the rest of it", s.p.OnConnect(visitor(n), s.now))
	}
	s.pass(time.Second)
	s.wants("a second later", s.p.OnConnect(visitor(1), s.now), "/index")
}

func TestAClientThatNeverCallsIsIgnored(t *testing.T) {
	s := begin(t)
	learn := func() {
		for range 30 {
			s.p.OnFirst(s.now, "/index")
		}
	}
	learn()
	bot, visitor := netip.MustParseAddr("2001:db8::1"), visitor(1)
	named := 0
	for n := range 1000 {
		s.pass(50 * time.Millisecond)
		neighbour := bot.As16()
		neighbour[15] = byte(n) // of the same network
		if s.p.OnConnect(netip.AddrFrom16(neighbour), s.now) != nil {
			named++
		}
	}
	if named == 0 || named > 12 {
		t.Errorf("there were %d predictions for a client that only connects", named)
	}
	named = 0
	for range 100 {
		s.pass(50 * time.Millisecond)
		if s.p.OnConnect(visitor, s.now) != nil {
			named++
		}
		s.p.OnCall("/index", "", visitor, s.now)
	}
	if named != 100 {
		t.Errorf("there were %d of 100 predictions for a client that calls", named)
	}
	s.pass(10 * time.Minute)
	s.wants("the first client, long after", s.p.OnConnect(bot, s.now), "/index")
}

func TestObservationsAreBounded(t *testing.T) {
	f := predict.New()
	now := time.Unix(1_800_000_000, 0)
	kept := f.Project("prj_kept")
	for n := range 20_000 {
		p := f.Project(lateen.ProjectID(fmt.Sprint("prj_", n)))
		p.OnFirst(now, "/index")
		if n%100 == 0 && f.Project("prj_kept") != kept {
			t.Fatalf("a project in use was dropped after %d others", n)
		}
	}
	for n := range 20_000 { // made-up paths
		now = now.Add(time.Millisecond)
		kept.OnAnswer(fmt.Sprintf("/%d/x", n), fmt.Sprintf("/fn/%d", n), now)
		kept.OnAnswer("/real", "/fn", now)
	}
	now = now.Add(time.Second)
	if got := kept.OnRequest("/real", now); !slices.Equal(got, []string{"/fn"}) {
		t.Errorf("a path in use was dropped for others: %q", got)
	}
}

// BenchmarkCall measures OnCall.
func BenchmarkCall(b *testing.B) {
	p, now := predict.New().Project("prj_1"), time.Now()
	p.OnPage("/shop", "/shop", visitor(1), now)
	b.ReportAllocs()
	for b.Loop() {
		p.OnCall("/api/cart", "/shop", visitor(1), now)
	}
}

// BenchmarkPage measures OnPage.
func BenchmarkPage(b *testing.B) {
	p, now := predict.New().Project("prj_1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p.OnPage("/shop", "/shop", visitor(1), now)
	}
}

func TestFunctionsAreDistinguished(t *testing.T) {
	s := begin(t)
	for n := range 500 { // pairs of names whose hashes share some bits
		page, cart, price := fmt.Sprint("/shop/", n), fmt.Sprint("/api/cart/", n), fmt.Sprint("/api/price/", n)
		for range 3 {
			s.visit(n, page, cart, price)
		}
		s.wants("after three visits", s.visit(n, page, cart), cart, price)
	}
}
