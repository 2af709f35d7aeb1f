package foresight_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/lateen-dev/lateen"
	"github.com/lateen-dev/lateen/internal/foresight"
)

// story is a project and a clock; visitors have addresses of their own.
type story struct {
	t   *testing.T
	p   *foresight.Project
	now time.Time
}

func begin(t *testing.T) *story {
	return &story{t: t, p: foresight.New().Project("prj_1"), now: time.Unix(1_800_000_000, 0)}
}

func visitor(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
}

func (s *story) pass(d time.Duration) { s.now = s.now.Add(d) }

// visit sends a visitor a page and has it call functions a second later.
func (s *story) visit(n int, page string, calls ...string) []string {
	next := s.p.Page(page, page, visitor(n), s.now)
	s.pass(time.Second)
	for _, function := range calls {
		s.p.Call(function, page, visitor(n), s.now)
	}
	return next
}

func (s *story) wants(what string, got []string, want ...string) {
	s.t.Helper()
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func TestAPageLeadsToWhatItsVisitorsCall(t *testing.T) {
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

func TestACallIsDueToThePageBeforeIt(t *testing.T) {
	s := begin(t)
	for n := range 4 {
		s.p.Page("/shop", "/shop", visitor(n), s.now)
		s.pass(time.Second)
		s.p.Call("/api/other-tab", "/elsewhere", visitor(n), s.now) // another page made it
		s.p.Call("/api/other-visitor", "/shop", visitor(100+n), s.now)
		s.p.Call("/api/hidden", "", visitor(n), s.now) // some pages do not say who they are
		s.pass(time.Minute)
		s.p.Call("/api/late", "/shop", visitor(n), s.now)
	}
	s.wants("/shop", s.visit(50, "/shop"), "/api/hidden")
}

func TestHabitsFade(t *testing.T) {
	s := begin(t)
	for n := range 60 {
		s.visit(n, "/shop", "/api/old")
	}
	for n := range 200 {
		s.visit(n, "/shop", "/api/new")
	}
	s.wants("after 200 visits of another kind", s.visit(300, "/shop"), "/api/new")
}

func TestAConnectionLeadsToItsFirstFunction(t *testing.T) {
	s := begin(t)
	s.wants("before anything is known", s.p.Connect(visitor(1), s.now))
	for n := range 10 {
		first := "/index"
		if n%5 == 4 {
			first = "/rare"
		}
		s.p.First(s.now, "/middleware", first)
	}
	s.wants("a connection", s.p.Connect(visitor(1), s.now), "/middleware", "/index")
	s.pass(time.Second)
	for range 60 {
		s.p.First(s.now, "") // files alone
	}
	s.wants("once most ask for files", s.p.Connect(visitor(1), s.now))
}

func TestAPathLeadsToWhatAnswersIt(t *testing.T) {
	s := begin(t)
	for n := range 3 {
		s.p.Answered(fmt.Sprint("/blog/", n), "/blog/[slug]", s.now)
		s.p.Answered("/login", "", s.now) // the middleware did
	}
	s.wants("a page never asked for, beside others", s.p.Arrive("/blog/new", s.now), "/blog/[slug]")
	s.wants("what no function answers", s.p.Arrive("/login", s.now))
	s.wants("elsewhere", s.p.Arrive("/shop/new", s.now))
	for range 3 {
		s.p.Answered("/blog/feed", "/feed", s.now)
	}
	s.pass(time.Second)
	s.wants("a path that is known itself", s.p.Arrive("/blog/feed", s.now), "/feed")
}

func TestNothingIsNamedTwiceInAMoment(t *testing.T) {
	s := begin(t)
	s.p.First(s.now, "/index")
	s.p.First(s.now, "/index")
	s.wants("the first of a burst", s.p.Connect(visitor(1), s.now), "/index")
	for n := range 1000 {
		s.wants("the rest of it", s.p.Connect(visitor(n), s.now))
	}
	s.pass(time.Second)
	s.wants("a second later", s.p.Connect(visitor(1), s.now), "/index")
}

func TestAClientThatNeverCallsIsIgnored(t *testing.T) {
	s := begin(t)
	learn := func() {
		for range 30 {
			s.p.First(s.now, "/index")
		}
	}
	learn()
	bot, visitor := netip.MustParseAddr("2001:db8::1"), visitor(1)
	named := 0
	for n := range 1000 {
		s.pass(50 * time.Millisecond)
		neighbour := bot.As16()
		neighbour[15] = byte(n) // of the same network
		if s.p.Connect(netip.AddrFrom16(neighbour), s.now) != nil {
			named++
		}
	}
	if named == 0 || named > 12 {
		t.Errorf("a client that only connects had functions named %d times", named)
	}
	named = 0
	for range 100 {
		s.pass(50 * time.Millisecond)
		if s.p.Connect(visitor, s.now) != nil {
			named++
		}
		s.p.Call("/index", "", visitor, s.now)
	}
	if named != 100 {
		t.Errorf("a client that calls had functions named %d of 100 times", named)
	}
	s.pass(10 * time.Minute)
	s.wants("the first client, long after", s.p.Connect(bot, s.now), "/index")
}

func TestWhatIsLearnedIsBounded(t *testing.T) {
	f := foresight.New()
	now := time.Unix(1_800_000_000, 0)
	kept := f.Project("prj_kept")
	for n := range 20_000 {
		p := f.Project(lateen.ProjectID(fmt.Sprint("prj_", n)))
		p.First(now, "/index")
		if n%100 == 0 && f.Project("prj_kept") != kept {
			t.Fatalf("a project in use was forgotten after %d others", n)
		}
	}
	for n := range 20_000 { // paths that a stranger makes up
		now = now.Add(time.Millisecond)
		kept.Answered(fmt.Sprintf("/%d/x", n), fmt.Sprintf("/fn/%d", n), now)
		kept.Answered("/real", "/fn", now)
	}
	now = now.Add(time.Second)
	if got := kept.Arrive("/real", now); !slices.Equal(got, []string{"/fn"}) {
		t.Errorf("a path in use was forgotten for others: %q", got)
	}
}

// BenchmarkCall is what a call of a function pays to be learned from.
func BenchmarkCall(b *testing.B) {
	p, now := foresight.New().Project("prj_1"), time.Now()
	p.Page("/shop", "/shop", visitor(1), now)
	b.ReportAllocs()
	for b.Loop() {
		p.Call("/api/cart", "/shop", visitor(1), now)
	}
}

// BenchmarkPage is what a page pays to be learned from.
func BenchmarkPage(b *testing.B) {
	p, now := foresight.New().Project("prj_1"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		p.Page("/shop", "/shop", visitor(1), now)
	}
}

func TestFunctionsAreToldApart(t *testing.T) {
	s := begin(t)
	for n := range 500 { // pairs of names, whose hashes are alike in some bits
		page, cart, price := fmt.Sprint("/shop/", n), fmt.Sprint("/api/cart/", n), fmt.Sprint("/api/price/", n)
		for range 3 {
			s.visit(n, page, cart, price)
		}
		s.wants("after three visits", s.visit(n, page, cart), cart, price)
	}
}
