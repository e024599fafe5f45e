(function () {
  "use strict";
  var form = document.querySelector("form[data-auto-submit]");
  if (form) {
    form.submit();
    return;
  }
  var clock = document.getElementById("countdown");
  if (!clock) {
    return;
  }
  var end = Date.now() + 1000 * Number(clock.getAttribute("data-seconds"));
  function two(number) {
    return (number < 10 ? "0" : "") + number;
  }
  window.setInterval(function () {
    var left = Math.max(0, Math.ceil((end - Date.now()) / 1000));
    clock.textContent = two(Math.floor(left / 60)) + ":" + two(left % 60);
  }, 1000);
})();
