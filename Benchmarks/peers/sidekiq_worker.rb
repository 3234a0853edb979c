# The Ruby half of sidekiq_peer.py: the worker's task, loaded by `sidekiq -r`, and the callers that submit it.

require "sidekiq"

server = { url: ENV.fetch("BENCH_REDIS") }
Sidekiq.configure_server { |config| config.redis = server }
Sidekiq.configure_client { |config| config.redis = server.merge(size: 64) }
Sidekiq.logger.level = Logger::ERROR

FOLDER = ENV.fetch("BENCH_FOLDER")
NOTE = "leave at the door; " + "order ord_018f7e1c, " * 8

def clock(unit = :float_second)
  Process.clock_gettime(Process::CLOCK_MONOTONIC, unit)
end

def submit_many(count)
  Sidekiq::Client.push_bulk("class" => Noop, "args" => Array.new(count) { [0, NOTE] })
end

class Noop
  include Sidekiq::Worker
  LOCK = Mutex.new
  COUNTS = File.open("#{FOLDER}/counts", "r+b") rescue nil
  LATENCIES = File.open("#{FOLDER}/latencies", "ab")
  @@count = 0

  def perform(stamp, _note)
    LATENCIES.syswrite([clock(:nanosecond) - stamp].pack("q")) if stamp > 0
    LOCK.synchronize { COUNTS.pwrite([@@count += 1].pack("Q"), 0) }
  end
end

if __FILE__ == $PROGRAM_NAME
  case ARGV.shift
  when "submit"
    seconds, clients, batch, start = ARGV[0].to_f, ARGV[1].to_i, ARGV[2].to_i, ARGV[3].to_f
    sleep([0, start - clock].max)
    done = Array.new(clients) do
      Thread.new do
        count = 0
        while clock < start + seconds
          batch == 1 ? Noop.perform_async(0, NOTE) : submit_many(batch)
          count += batch
        end
        count
      end
    end.sum(&:value)
    puts done / (clock - start)
  when "fill"
    (ARGV[0].to_i / 1000).times { submit_many(1000) }
  when "pace"
    rate, seconds = ARGV.map(&:to_f)
    start = clock
    (rate * seconds).to_i.times do |number|
      sleep([0, start + number / rate - clock].max)
      Noop.perform_async(clock(:nanosecond), NOTE)
    end
  end
end
