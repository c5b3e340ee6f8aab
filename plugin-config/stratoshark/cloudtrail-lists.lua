-- Tools > CloudTrail in Stratoshark: what the events of a capture have most often, and what the profile's colours mean.
-- scripts/install puts it into the folder of Lua scripts, which is that above falco/. Without a window it does nothing.

local PROFILE = "CloudTrail Analysis"
local BUTTONS, LINES, BAR, VALUE = 10, 100, 20, 60
local HOUR = 3600

-- Each list counts the first of its fields that the plugin has. "hour" is no field: it is taken from the event's time.
local LISTS = {
    { menu = "Event names", one = "event name", fields = { "ct.name" } },
    { menu = "Who", one = "user, role or service", fields = { "ct.actor", "ct.user" } },
    { menu = "Services", one = "service", fields = { "ct.shortsrc", "ct.src" } },
    { menu = "Errors", one = "error", fields = { "ct.error" } },
    { menu = "Outcomes", one = "error, failed login or sign-in", fields = { "ct.outcome" } },
    { menu = "Targets", one = "target", fields = { "ct.target" } },
    { menu = "Addresses", one = "address", fields = { "ct.srcip" } },
    {
        menu = "Countries",
        one = "country",
        fields = { "ct.geo.country" },
        note = "Countries are known where the environment variable CLOUDTRAIL_GEO_DATABASES names a database.",
    },
    { menu = "User agents", one = "user agent", fields = { "ct.useragent" } },
    { menu = "Accounts", one = "account", fields = { "ct.user.accountid" } },
    { menu = "Regions", one = "region", fields = { "ct.region" } },
    { menu = "Hours of the day (UTC)", one = "hour", fields = { "hour" } },
}

-- The lists that this plugin has fields for. It must be called while scripts are loaded: later no field can be asked for.
local function open()
    local lists = {}
    for _, list in ipairs(LISTS) do
        for _, name in ipairs(list.fields) do
            local there, field = name == "hour", nil
            if not there then
                there, field = pcall(Field.new, name)
            end
            if there then
                table.insert(lists, {
                    menu = list.menu,
                    one = list.one,
                    note = list.note,
                    field = name,
                    get = field and function()
                        local found = field()
                        return found and found.value
                    end or function(event)
                        return math.floor(event.abs_ts / HOUR)
                    end,
                })
                break
            end
        end
    end
    return lists
end

-- Counts of a list: by value, of events, and of events without a value.
local function counts()
    return { by = {}, events = 0, without = 0 }
end

local function count(list, into, event)
    local value = list.get(event)
    into.events = into.events + 1
    if value == nil then
        into.without = into.without + 1
    else
        into.by[value] = (into.by[value] or 0) + 1
    end
end

-- A value as the display filter takes it.
local function quoted(value)
    local inner = value:gsub('[%z\1-\31\127"\\]', function(byte)
        if byte == '"' or byte == "\\" then
            return "\\" .. byte
        end
        return ("\\x%02x"):format(byte:byte())
    end)
    return '"' .. inner .. '"'
end

-- The lines of a list, most frequent first: value, number of events, and a display filter for them.
local function ranked(list, counted)
    local lines = {}
    if list.field == "hour" then
        local hours = {}
        for at, number in pairs(counted.by) do
            local line = hours[at % 24]
            if not line then
                line = { value = ("%02d:00 to %02d:59"):format(at % 24, at % 24), number = 0, at = {} }
                hours[at % 24] = line
                table.insert(lines, line)
            end
            line.number = line.number + number
            table.insert(line.at, at)
        end
        -- The filter's language knows no hours, so each day's is named.
        for _, line in ipairs(lines) do
            table.sort(line.at)
            for day, at in ipairs(line.at) do
                local from = os.date("!%Y-%m-%dT%H:%M:%SZ", at * HOUR)
                local to = os.date("!%Y-%m-%dT%H:%M:%SZ", (at + 1) * HOUR)
                line.at[day] = ('(frame.time >= "%s" && frame.time < "%s")'):format(from, to)
            end
            line.filter = table.concat(line.at, " || ")
            line.at = nil
        end
    else
        for value, number in pairs(counted.by) do
            table.insert(lines, { value = value, number = number })
        end
    end
    table.sort(lines, function(a, b)
        if a.number ~= b.number then
            return a.number > b.number
        end
        return a.value < b.value
    end)
    for rank, line in ipairs(lines) do
        line.rank = rank
        if not line.filter and rank <= LINES then
            line.filter = list.field .. " == " .. quoted(line.value)
        end
    end
    return lines
end

-- 1234567 as 1,234,567.
local function grouped(number)
    local text = ("%d"):format(number):reverse():gsub("(%d%d%d)", "%1,"):reverse()
    return (text:gsub("^,", ""))
end

local function share(number, of)
    return ("%.1f %%"):format(of == 0 and 0 or 100 * number / of)
end

-- A value on one line, cut and filled up to a width.
local function cell(value, width)
    value = value == "" and '""' or value:gsub("[%z\1-\31\127]", "?")
    local length = utf8.len(value)
    if not length then -- It is no UTF-8.
        value = value:gsub("[\128-\255]", "?")
        length = #value
    end
    if length > width then
        return value:sub(1, utf8.offset(value, width) - 1) .. "…"
    end
    return value .. (" "):rep(width - length)
end

-- The text of some lines of a list.
local function table_of(lines, events, most)
    local shown, width, largest = {}, 0, 1
    for rank = 1, math.min(most, #lines) do
        local line = lines[rank]
        shown[rank] = line
        width = math.max(width, math.min(VALUE, utf8.len(line.value) or #line.value, #line.value))
        largest = math.max(largest, line.number)
    end
    -- Hours are read by the clock.
    if lines[1] and lines[1].value:match("^%d%d:00 to ") then
        table.sort(shown, function(a, b)
            return a.value < b.value
        end)
    end
    local text = {}
    for _, line in ipairs(shown) do
        local bar = ("█"):rep(math.floor(line.number / largest * BAR + 0.5))
        table.insert(
            text,
            ("%4d. %s %11s %8s  %s"):format(
                line.rank,
                cell(line.value, math.max(width, 2)),
                grouped(line.number),
                share(line.number, events),
                bar == "" and "▏" or bar
            )
        )
    end
    local more = #lines - #shown
    if more > 0 then
        table.insert(text, ("      and %s more"):format(grouped(more)))
    end
    return table.concat(text, "\n")
end

local function of_what(counted, filter)
    local events = grouped(counted.events) .. (counted.events == 1 and " event" or " events")
    return events .. (filter == "" and "" or " that fit the display filter " .. filter)
end

-- The text of a list's window.
local function text_of(list, counted, filter)
    local lines = ranked(list, counted)
    local text = { ("%s: %s in %s"):format(list.menu, grouped(#lines), of_what(counted, filter)) }
    if counted.without > 0 then
        local number = grouped(counted.without)
        table.insert(text, ("Without %s: %s, %s"):format(list.one, number, share(counted.without, counted.events)))
    end
    if #lines == 0 and list.note then
        table.insert(text, list.note)
    end
    local none = counted.without > 0 and "; None, those without " .. list.one or ""
    table.insert(text, "The buttons display the events of the line with that number" .. none .. ".")
    table.insert(text, "To count what is displayed then, choose the list in the menu again.")
    table.insert(text, "")
    table.insert(text, table_of(lines, counted.events, LINES))
    return table.concat(text, "\n"), lines
end

-- A condition within what was counted.
local function within(filter, condition)
    return filter == "" and condition or ("(%s) && (%s)"):format(filter, condition)
end

-- The words for a colour, whose parts go to 65535.
local function colour(red, green, blue)
    red, green, blue = red / 65535, green / 65535, blue / 65535
    local most, least = math.max(red, green, blue), math.min(red, green, blue)
    local light, range = (most + least) / 2, most - least
    if range < 0.06 then
        return light > 0.93 and "white" or light < 0.15 and "black" or light < 0.45 and "dark grey" or "grey"
    end
    local hue
    if most == red then
        hue = (green - blue) / range % 6
    elseif most == green then
        hue = (blue - red) / range + 2
    else
        hue = (red - green) / range + 4
    end
    hue = hue * 60
    local name = "red"
    for _, to in ipairs({
        { 345, "pink" },
        { 290, "violet" },
        { 255, "blue" },
        { 195, "turquoise" },
        { 165, "green" },
        { 70, "yellow" },
        { 40, "orange" },
        { 15, "red" },
    }) do
        name = hue < to[1] and to[2] or name
    end
    return (light >= 0.8 and "pale " or light < 0.35 and "dark " or "") .. name
end

-- What the rules of a file `colorfilters` say.
local function legend(rules)
    local text = { "The first that fits an event counts.", "" }
    for rule in rules:gmatch("[^\r\n]+") do
        -- "!" in front switches a rule off.
        local name, filter, back, front = rule:match("^@(.-)@(.*)@%[([%d,]+)%]%[([%d,]+)%]$")
        if name then
            local words = {}
            for which, parts in ipairs({ front, back }) do
                local red, green, blue = parts:match("^(%d+),(%d+),(%d+)$")
                words[which] = red and colour(red, green, blue) or "?"
            end
            table.insert(text, ("%s %s on %s"):format(cell(name, 32), words[1], words[2]))
            table.insert(text, "    " .. filter)
        end
    end
    return table.concat(text, "\n")
end

-- Count these lists over the displayed events: what each has counted, and the display filter that was counted by.
local counting = false
local function counted_by(lists)
    if counting then
        return nil
    end
    counting = true
    local filter, why = get_filter() or "", nil
    local fine, listener = pcall(Listener.new, "frame", filter ~= "" and filter or nil)
    if not fine then
        filter, why = "", "The display filter could not be read, so all events were counted."
        listener = Listener.new("frame")
    end
    local all = {}
    local function begin()
        for which in ipairs(lists) do
            all[which] = counts()
        end
    end
    begin()
    listener.reset = begin
    listener.packet = function(event)
        for which, list in ipairs(lists) do
            count(list, all[which], event)
        end
    end
    local done, error_text = pcall(retap_packets)
    listener:remove()
    counting = false
    if not done then
        error(error_text, 0)
    end
    return all, filter, why
end

local function show_list(list)
    local all, filter, why = counted_by({ list })
    if not all then
        return
    end
    local text, lines = text_of(list, all[1], filter)
    local window = TextWindow.new("CloudTrail: " .. list.menu)
    window:set(why and why .. "\n\n" .. text or text)
    local function button(label, condition)
        window:add_button(label, function()
            set_filter(within(filter, condition))
            apply_filter()
        end)
    end
    for rank = 1, math.min(BUTTONS, #lines) do
        button(tostring(rank), lines[rank].filter)
    end
    if all[1].without > 0 then
        button("None", "!" .. list.field)
    end
end

local function show_overview(lists)
    local all, filter, why = counted_by(lists)
    if not all then
        return
    end
    local text = { "The first five of each list in " .. of_what(all[1], filter) }
    if why then
        table.insert(text, 1, why)
    end
    for which, list in ipairs(lists) do
        local lines = ranked(list, all[which])
        if #lines > 0 then
            table.insert(text, ("\n%s: %s"):format(list.menu, grouped(#lines)))
            table.insert(text, table_of(lines, all[which].events, 5))
        end
    end
    TextWindow.new("CloudTrail: Overview"):set(table.concat(text, "\n"))
end

local function show_legend()
    local path = ("%sprofiles/%s/colorfilters"):format(USER_DIR, PROFILE)
    local file = io.open(path)
    local text = file and legend(file:read("a")) or "There is no file " .. path .. ". scripts/install puts it there."
    if file then
        file:close()
    end
    TextWindow.new("CloudTrail: Colours"):set(("Colours of the profile %s\n\n%s"):format(PROFILE, text))
end

if gui_enabled() then
    local lists = open()
    -- Hours alone mean that there is no CloudTrail plugin.
    if #lists > 1 then
        for _, list in ipairs(lists) do
            register_menu("CloudTrail/" .. list.menu, function()
                show_list(list)
            end, MENU_TOOLS_UNSORTED)
        end
        register_menu("CloudTrail/Overview", function()
            show_overview(lists)
        end, MENU_TOOLS_UNSORTED)
        register_menu("CloudTrail/Colours of the profile", show_legend, MENU_TOOLS_UNSORTED)
    end
end

-- For the tests.
return {
    open = open,
    counts = counts,
    count = count,
    ranked = ranked,
    text_of = text_of,
    legend = legend,
    within = within,
}
