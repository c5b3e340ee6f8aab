# Puts cloudtrail.dll, from beside this script or from scripts/build-all, where Stratoshark looks for this user, and a
# profile and a script for it:   powershell -ExecutionPolicy Bypass -File install.ps1
# Takes away what it put there, but for what has been changed since:   powershell -ExecutionPolicy Bypass -File install.ps1 -Remove
param([switch] $Remove)
$ErrorActionPreference = 'Stop'
$stratoshark = "$env:APPDATA\Stratoshark"
$dll = "$stratoshark\plugins\falco\cloudtrail.dll"
$menu = "$stratoshark\plugins\cloudtrail-lists.lua"
$analysis = "$stratoshark\profiles\CloudTrail Analysis"
$was = "$analysis\.installed"
# What was put there, for -Remove: a line for each folder that was made, and for each file with its sum.
$list = "$stratoshark\plugins\cloudtrail.installed"
function Note([string] $what, [string] $path) {
    $lines = @(Get-Content $list -Encoding UTF8 -ErrorAction SilentlyContinue | Where-Object { ($_ -split "`t")[1] -ne $path })
    Set-Content $list ($lines + "$what`t$path") -Encoding UTF8
}
function Sum([string] $path) { 'file ' + (Get-FileHash $path).Hash }
function Put([string] $file, [string] $path) {
    Copy-Item -Force $file $path
    Note (Sum $path) $path
}
# The lines of a file of settings that are about these keys, or all others.
function Entries([string] $file, [string[]] $keys, [switch] $others) {
    $ours = $false
    foreach ($line in [IO.File]::ReadAllLines($file)) {
        if ($line -match '^\S') { $ours = ($line -split ':')[0] -in $keys }
        if ($ours -xor $others) { $line }
    }
}
# What a file says, of these keys if there are any, however it is laid out.
function Says([string] $file, [string[]] $keys) {
    if (-not (Test-Path $file)) { return $null }
    if (-not $keys) { return [IO.File]::ReadAllText($file) }
    ((Entries $file $keys) -join '') -replace '[\s"]|:0:U', ''
}
# What of a file of the profile is ours, where Stratoshark writes all its settings into it. What is hidden is there twice, once
# Stratoshark has written it.
$settings = @{ preferences = 'gui.column.hide', 'gui.column.format'; recent = @('column.width') }
$gone = @('gui.column.hidden')
if ($Remove) {
    if (-not (Test-Path $list)) { throw "There is no $list, which tells what was put where. Run this script once, then with -Remove." }
    $made = @()
    foreach ($line in Get-Content $list -Encoding UTF8) {
        $what, $path = $line -split "`t", 2
        if ($what -eq 'folder') {
            $made += $path
        } elseif (-not (Test-Path $path)) {
            continue
        } elseif ((Sum $path) -eq $what) {
            Remove-Item $path
            Write-Output "Removed $path"
        } else {
            Write-Output "Left ${path}: it is not as it was installed"
        }
    }
    if (Test-Path $was) {
        foreach ($file in Get-ChildItem -File $was) {
            $name = $file.Name
            $mine = "$analysis\$name"
            if (-not (Test-Path $mine)) { continue }
            $same = (Says $mine $settings[$name]) -ceq (Says $file.FullName $settings[$name])
            # What the user has set besides is not commented out.
            $more = $name -eq 'preferences' -and (Entries $mine ($settings[$name] + $gone) -others | Where-Object { $_ -match '^[^#\s]' })
            if ($same -and -not $more) { Remove-Item $mine } else { Write-Output "Left ${mine}: it has settings of yours" }
        }
        Remove-Item -Recurse -Force $was
        $made += $analysis
    }
    Remove-Item $list
    # Longer paths are deeper. What is not empty holds what was not installed.
    foreach ($path in $made | Sort-Object Length -Descending) {
        if ((Test-Path $path) -and -not (Get-ChildItem -Force $path)) { Remove-Item $path }
    }
    if (Test-Path $analysis) { Write-Output "Left ${analysis}: what is in it was not installed, or is yours" }
    exit
}
$root = Split-Path -Parent $PSScriptRoot
function First([string[]] $paths) { $paths | Where-Object { Test-Path $_ } | Select-Object -First 1 }
$library = First "$PSScriptRoot\cloudtrail.dll", "$root\cloudtrail.dll", "$root\target\dist\windows-x86_64\cloudtrail.dll"
if (-not $library) { throw 'There is no cloudtrail.dll beside this script.' }
$folders = $stratoshark, "$stratoshark\plugins", "$stratoshark\plugins\falco", "$stratoshark\profiles"
$made = @($folders | Where-Object { -not (Test-Path $_) })
New-Item -ItemType Directory -Force $folders | Out-Null
foreach ($path in $made) { Note folder $path }
Put $library $dll
Write-Output "Stratoshark: $dll"
# Columns, buttons and colours. What the user has made of them stays: .installed tells what was put there, and what is still the
# same becomes that of this version. Stratoshark writes all its settings into two of the files, among which are ours.
$new = First "$PSScriptRoot\CloudTrail Analysis", "$root\plugin-config\stratoshark\CloudTrail Analysis"
if ($new -and -not (Test-Path $analysis)) {
    Copy-Item -Recurse $new $analysis
    Copy-Item -Recurse $new $was
    Write-Output 'Stratoshark: the profile "CloudTrail Analysis"; choose it at the right end of the status bar'
} elseif ($new -and -not (Test-Path $was)) {
    Write-Output "Stratoshark: kept your profile $analysis, since nothing tells whether you have changed it. To have the new one, rename it and run this again"
} elseif ($new) {
    $kept = @()
    $columns = $false
    foreach ($file in Get-ChildItem -File $new | Sort-Object Name) {
        $name = $file.Name
        $keys = $settings[$name]
        $mine = Says "$analysis\$name" $keys
        $before = Says "$was\$name" $keys
        if ($null -eq $before -and $null -eq $mine) {
            Copy-Item $file.FullName "$analysis\$name"
        } elseif ((Says $file.FullName $keys) -ceq $before) {
            continue # Nothing new.
        # New columns come with their widths, for one without any is hardly to be seen.
        } elseif ($null -eq $mine -or ($mine -cne $before -and -not ($columns -and $name -eq 'recent'))) {
            $kept += $name
            continue
        } elseif (-not $keys) {
            Copy-Item -Force $file.FullName "$analysis\$name"
        } else {
            [IO.File]::WriteAllLines("$analysis\$name", [string[]] (@(Entries "$analysis\$name" ($keys + $gone) -others) + @(Entries $file.FullName $keys)))
            $columns = $columns -or $name -eq 'preferences'
        }
        Copy-Item -Force $file.FullName "$was\$name"
    }
    $but = if ($kept) { ", but for what you have changed: $kept" }
    Write-Output "Stratoshark: the profile $analysis is this version's$but"
}
# Lua scripts are above falco, in which every file is taken for a plugin.
$lists = First "$PSScriptRoot\cloudtrail-lists.lua", "$root\plugin-config\stratoshark\cloudtrail-lists.lua"
if ($lists) {
    Put $lists $menu
    Write-Output "Stratoshark: $menu, lists in the menu Tools > CloudTrail"
}
# Stratoshark's installer brings the official plugin, and a program can't load two of one name.
Get-Item "$env:ProgramFiles\Stratoshark\plugins\falco\*cloudtrail*" -ErrorAction SilentlyContinue |
    ForEach-Object { Write-Output "Delete the official plugin, as an administrator: $_" }
