// Livelier waiting pages; they work without it. Old browsers run it.
(function () {
  function el(id) { return document.getElementById(id); }
  function reload() { location.reload(); }
  function press(id) { var b = el(id); if (b) b.click(); else reload(); }
  function two(n) { return n < 10 ? "0" + n : n; }
  function now() { return performance.now(); }
  var box = el("wait");
  if (!box) return;
  function say(name) { return box.getAttribute("data-" + name); }
  var sent = -1e4; // two clicks are one
  addEventListener("submit", function (e) { if (now() - sent < 1000) e.preventDefault(); else sent = now(); });
  addEventListener("pageshow", function (e) { if (e.persisted) reload(); });
  if (say("go")) return press("check");

  var clock = el("clock"), live = el("live"), offline = el("offline"), qr = el("qr");
  var left = Number(say("seconds")), began = now(), said = left, over;
  var pause = 2000, failing = 0, timer;

  function tick() {
    var rest = Math.max(0, Math.ceil(left - (now() - began) / 1000));
    clock.textContent = two(Math.floor(rest / 60)) + ":" + two(rest % 60);
    [120, 60, 30].forEach(function (mark) {
      if (rest <= mark && said > mark) live.textContent = say(mark);
    });
    said = rest;
    // the server decides whether it is over
    if (!rest && !over) { over = 1; setTimeout(reload, 1500); }
  }
  function again(wait) { clearTimeout(timer); timer = setTimeout(poll, wait); }
  function lost(told) {
    failing = failing || now();
    var since = now() - failing;
    if (since > 5000) offline.hidden = false;
    pause = Math.min(pause * 2, 15000);
    if (since < 30000) again(Math.max(told * 1000 || 0, pause));
    else offline.textContent = say("lost");
  }
  function poll() {
    if (over) return;
    var ask = new XMLHttpRequest();
    ask.open("GET", say("status"));
    ask.timeout = 15000;
    ask.onload = function () {
      var status = ask.status, answer = 0;
      if (status === 410 || status === 403) return reload();
      if (status === 429) return again(1000 + 2000 * Math.random()); // another tab
      try { answer = JSON.parse(ask.responseText); } catch (e) {}
      if (status !== 200 || !answer) return lost(ask.getResponseHeader("Retry-After"));
      failing = 0; pause = 2000; offline.hidden = true;
      if (answer.state === "done") { over = 1; live.textContent = say("done"); return press("check"); }
      left = answer.seconds; began = now();
      again(pause);
    };
    ask.onerror = ask.ontimeout = lost;
    ask.send();
  }
  document.addEventListener("visibilitychange", function () { if (!document.hidden) again(0); });
  // once: who comes back by the Back button stays
  if (say("leave") && !history.state) addEventListener("load", function () {
    setTimeout(function () { history.replaceState(1, ""); press("go"); }, 0);
  });
  if (qr && self.IntersectionObserver) new IntersectionObserver(function (seen) {
    el("qr-cut").hidden = seen[0].intersectionRatio > 0.95;
  }, { threshold: [0, 0.96, 1] }).observe(qr);
  setInterval(tick, 500);
  again(pause);
})();
