-- wrk: sends the raw requests of a file in turn; the file has a NUL between two of them.
local raw, count, next = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("[^%z]+") do
    count = count + 1
    raw[count] = one
  end
  file:close()
end

function request()
  next = next % count + 1
  return raw[next]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '\n{"answers": %d, "seconds": %f, "failed": %d, "p50": %f, "p99": %f}\n',
    summary.requests, summary.duration / 1e6,
    e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
