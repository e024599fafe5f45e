// Makes the waiting pages livelier; they work without it. Old embedded browsers run it too.
(function () {
  "use strict";
  var box = document.getElementById("wait"), form = document.getElementById("actions");
  if (!box || !form) return;
  function go() {
    var button = document.getElementById("check");
    if (button) button.click(); else location.reload();
  }
  if (box.getAttribute("data-go")) { go(); return; }

  var clock = document.getElementById("clock"), live = document.getElementById("live");
  var offline = document.getElementById("offline");
  var left = Number(box.getAttribute("data-seconds")), began = now(), said = left, over = false;
  var pause = 2000, failing = 0, timer = null;

  function now() { return window.performance ? performance.now() : Date.now(); }
  function rest() { return Math.max(0, Math.ceil(left - (now() - began) / 1000)); }
  function two(n) { return n < 10 ? "0" + n : String(n); }
  function tick() {
    var seconds = rest();
    clock.textContent = two(Math.floor(seconds / 60)) + ":" + two(seconds % 60);
    [120, 60, 30].forEach(function (mark) {
      if (seconds <= mark && said > mark) live.textContent = box.getAttribute("data-" + mark);
    });
    said = seconds;
    // the server decides whether it is over
    if (seconds === 0 && !over) { over = true; setTimeout(function () { location.reload(); }, 1500); }
  }
  function again(wait) { clearTimeout(timer); timer = setTimeout(poll, wait); }
  function lost(request) {
    if (!failing) failing = now();
    if (offline && now() - failing > 5000) offline.hidden = false;
    var told = request && Number(request.getResponseHeader("Retry-After")) * 1000;
    pause = Math.min(pause * 2, 15000);
    if (now() - failing < 30000) again(Math.max(told || 0, pause));
  }
  function poll() {
    if (over) return;
    var request = new XMLHttpRequest();
    request.open("GET", box.getAttribute("data-status"));
    request.timeout = 15000;
    request.onload = function () {
      if (request.status === 410 || request.status === 403) { location.reload(); return; }
      if (request.status !== 200) { lost(request); return; }
      var answer = JSON.parse(request.responseText);
      failing = 0; pause = 2000;
      if (offline) offline.hidden = true;
      if (answer.state === "done") { over = true; live.textContent = box.getAttribute("data-done"); go(); return; }
      left = answer.seconds; began = now();
      again(pause);
    };
    request.onerror = request.ontimeout = function () { lost(null); };
    request.send();
  }
  document.addEventListener("visibilitychange", function () { if (!document.hidden) again(0); });
  setInterval(tick, 500);
  again(pause);
})();
