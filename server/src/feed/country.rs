//! Country names to ISO 3166 codes: Okta and Duo write the name, Entra ID the code, and one person has
//! accounts at several of them.

/// `CODE name`, with the spellings that providers use.
const COUNTRIES: &str = "\
    AF Afghanistan|AX Aland Islands|AL Albania|DZ Algeria|AS American Samoa|AD Andorra|\
    AO Angola|AI Anguilla|AQ Antarctica|AG Antigua and Barbuda|AR Argentina|AM Armenia|\
    AW Aruba|AU Australia|AT Austria|AZ Azerbaijan|BS Bahamas|BS The Bahamas|BH Bahrain|\
    BD Bangladesh|BB Barbados|BY Belarus|BE Belgium|BZ Belize|BJ Benin|BM Bermuda|BT Bhutan|\
    BO Bolivia|BQ Bonaire, Sint Eustatius, and Saba|BA Bosnia and Herzegovina|BW Botswana|\
    BR Brazil|IO British Indian Ocean Territory|VG British Virgin Islands|BN Brunei|\
    BN Brunei Darussalam|BG Bulgaria|BF Burkina Faso|BI Burundi|CV Cabo Verde|CV Cape Verde|\
    KH Cambodia|CM Cameroon|CA Canada|KY Cayman Islands|CF Central African Republic|TD Chad|\
    CL Chile|CN China|CX Christmas Island|CC Cocos (Keeling) Islands|CO Colombia|KM Comoros|\
    CG Congo|CG Republic of the Congo|CD Congo (DRC)|CD DR Congo|\
    CD Democratic Republic of the Congo|CK Cook Islands|CR Costa Rica|CI Cote d'Ivoire|\
    CI Côte d'Ivoire|CI Ivory Coast|HR Croatia|CU Cuba|CW Curacao|CW Curaçao|CY Cyprus|\
    CZ Czech Republic|CZ Czechia|DK Denmark|DJ Djibouti|DM Dominica|DO Dominican Republic|\
    EC Ecuador|EG Egypt|SV El Salvador|GQ Equatorial Guinea|ER Eritrea|EE Estonia|\
    SZ Eswatini|SZ Swaziland|ET Ethiopia|FK Falkland Islands|FO Faroe Islands|FJ Fiji|\
    FI Finland|FR France|GF French Guiana|PF French Polynesia|GA Gabon|GM Gambia|GE Georgia|\
    DE Germany|GH Ghana|GI Gibraltar|GR Greece|GL Greenland|GD Grenada|GP Guadeloupe|\
    GU Guam|GT Guatemala|GG Guernsey|GN Guinea|GW Guinea-Bissau|GY Guyana|HT Haiti|\
    VA Holy See|VA Vatican City|HN Honduras|HK Hong Kong|HU Hungary|IS Iceland|IN India|\
    ID Indonesia|IR Iran|IR Islamic Republic of Iran|IQ Iraq|IE Ireland|IM Isle of Man|\
    IL Israel|IT Italy|JM Jamaica|JP Japan|JE Jersey|JO Jordan|KZ Kazakhstan|KE Kenya|\
    KI Kiribati|XK Kosovo|KW Kuwait|KG Kyrgyzstan|LA Laos|LV Latvia|LB Lebanon|LS Lesotho|\
    LR Liberia|LY Libya|LI Liechtenstein|LT Lithuania|LU Luxembourg|MO Macao|MO Macau|\
    MG Madagascar|MW Malawi|MY Malaysia|MV Maldives|ML Mali|MT Malta|MH Marshall Islands|\
    MQ Martinique|MR Mauritania|MU Mauritius|YT Mayotte|MX Mexico|FM Micronesia|\
    FM Federated States of Micronesia|MD Moldova|MD Republic of Moldova|MC Monaco|\
    MN Mongolia|ME Montenegro|MS Montserrat|MA Morocco|MZ Mozambique|MM Myanmar|MM Burma|\
    NA Namibia|NR Nauru|NP Nepal|NL Netherlands|NL The Netherlands|NC New Caledonia|\
    NZ New Zealand|NI Nicaragua|NE Niger|NG Nigeria|NU Niue|NF Norfolk Island|\
    KP North Korea|MK North Macedonia|MK Macedonia|MP Northern Mariana Islands|NO Norway|\
    OM Oman|PK Pakistan|PW Palau|PS Palestine|PS Palestinian Territory|PA Panama|\
    PG Papua New Guinea|PY Paraguay|PE Peru|PH Philippines|PN Pitcairn|PL Poland|\
    PT Portugal|PR Puerto Rico|QA Qatar|RE Reunion|RE Réunion|RO Romania|RU Russia|\
    RU Russian Federation|RW Rwanda|BL Saint Barthelemy|SH Saint Helena|\
    KN Saint Kitts and Nevis|LC Saint Lucia|MF Saint Martin|PM Saint Pierre and Miquelon|\
    VC Saint Vincent and the Grenadines|WS Samoa|SM San Marino|ST Sao Tome and Principe|\
    SA Saudi Arabia|SN Senegal|RS Serbia|SC Seychelles|SL Sierra Leone|SG Singapore|\
    SX Sint Maarten|SK Slovakia|SI Slovenia|SB Solomon Islands|SO Somalia|ZA South Africa|\
    KR South Korea|KR Korea, Republic of|KR Republic of Korea|SS South Sudan|ES Spain|\
    LK Sri Lanka|SD Sudan|SR Suriname|SJ Svalbard and Jan Mayen|SE Sweden|CH Switzerland|\
    SY Syria|SY Syrian Arab Republic|TW Taiwan|TJ Tajikistan|TZ Tanzania|TH Thailand|\
    TL Timor-Leste|TL East Timor|TG Togo|TK Tokelau|TO Tonga|TT Trinidad and Tobago|\
    TN Tunisia|TR Turkey|TR Türkiye|TR Turkiye|TM Turkmenistan|TC Turks and Caicos Islands|\
    TV Tuvalu|VI U.S. Virgin Islands|UG Uganda|UA Ukraine|AE United Arab Emirates|\
    GB United Kingdom|GB Great Britain|US United States|US United States of America|US USA|\
    UY Uruguay|UZ Uzbekistan|VU Vanuatu|VE Venezuela|VN Vietnam|VN Viet Nam|\
    WF Wallis and Futuna|EH Western Sahara|YE Yemen|ZM Zambia|ZW Zimbabwe";

/// The code of a country given by code or English name; as it came where neither is known.
pub(super) fn country(text: &str) -> String {
    let text = text.trim();
    if text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return text.to_ascii_uppercase();
    }
    let folded = text.to_lowercase();
    let mut known = COUNTRIES
        .split('|')
        .filter_map(|country| country.split_once(' '));
    let found = known.find(|(_, name)| name.to_lowercase() == folded);
    found.map_or_else(|| text.to_owned(), |(code, _)| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_of_trap_6_are_one() {
        for (text, expect) in [
            ("United States", "US"),
            ("united states", "US"),
            ("US", "US"),
            ("de", "DE"),
            ("Germany", "DE"),
            ("Czechia", "CZ"),
            ("Czech Republic", "CZ"),
            ("Türkiye", "TR"),
            ("Afghanistan", "AF"),
            ("Zimbabwe", "ZW"),
        ] {
            assert_eq!(country(text), expect, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_not_known_stays() {
        assert_eq!(country("Atlantis"), "Atlantis");
    }

    #[test]
    fn every_entry_has_a_code_and_a_name() {
        let mut count = 0;
        for entry in COUNTRIES.split('|') {
            let (code, name) = entry.split_once(' ').unwrap();
            assert!(
                code.len() == 2 && !name.is_empty() && name.trim() == name,
                "{entry}"
            );
            count += 1;
        }
        assert!(count > 240);
    }
}
